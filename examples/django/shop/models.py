from django.db import models


class Order(models.Model):
    address = models.EmailField()
    confirmed = models.BooleanField(default=False)
